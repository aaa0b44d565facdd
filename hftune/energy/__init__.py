"""What work costs: energy, CO2 and floating-point operations, counted where the machine can count, else estimated."""
