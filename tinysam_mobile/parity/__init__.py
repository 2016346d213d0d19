"""How near a backend is to the float model, stage by stage."""
