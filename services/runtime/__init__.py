"""What every service runs on: settings, logging, health, and the stage."""
