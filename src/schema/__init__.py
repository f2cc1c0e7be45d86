"""What clients see: types, inputs, payloads, errors and the three roots."""
