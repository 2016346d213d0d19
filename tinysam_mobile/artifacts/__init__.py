"""Reading artifacts without running them, and the SDK calls that several rooms share."""
