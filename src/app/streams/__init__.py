"""Results over HTTP that come one after another: GraphQL over SSE, and Apollo's multipart protocol."""
