"""From a question to its answer: retrieve, prompt, provider, answer stream."""
