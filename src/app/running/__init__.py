"""The parts of `make run`: signals, child programs, restarts, readiness, and what the terminal shows."""
