"""Relay's Node: whatever has a global id."""

import strawberry


@strawberry.interface(description="Something with a global id, by which `node` finds it again.")
class Node:
    id: strawberry.ID = strawberry.field(description="Global and opaque; of one kind of thing only.")
