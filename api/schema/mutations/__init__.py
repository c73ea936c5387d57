"""Mutations: one input, one payload and one command each. Expected failures are ``userErrors``, never GraphQL errors."""
