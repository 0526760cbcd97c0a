"""What is said on the bus: subjects, messages, streams, outcomes and the plan catalogue. No I/O."""
