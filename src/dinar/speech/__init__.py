"""Speech: from a sound to the movements of a face that says it."""
