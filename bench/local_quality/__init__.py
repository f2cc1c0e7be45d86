"""A small evaluation of the local models: documents and questions written for it, and the means to measure."""
