"""What the providers share that are reached over HTTP: connection, server-sent events, errors, streamed answers."""
