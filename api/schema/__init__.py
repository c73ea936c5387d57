"""The GraphQL schema: types, resolvers, and how views become types. It reads no store itself: projections.reading does."""
