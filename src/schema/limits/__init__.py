"""What a GraphQL document may look like and cost, decided in time linear in its size and before it is validated."""
