"""What everything else stands on: settings, errors, ids, security primitives, logging. Imports nothing of ours."""
