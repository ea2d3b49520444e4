"""What is said of versions: taken, listed, and whose word counts."""
