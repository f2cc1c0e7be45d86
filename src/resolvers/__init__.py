"""Use cases: authorise, open the transaction, orchestrate. No SQL, no GraphQL types."""
