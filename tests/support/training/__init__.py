"""What tests of training stand on: stand-ins, models small enough to be tuned in seconds, and their examples."""
