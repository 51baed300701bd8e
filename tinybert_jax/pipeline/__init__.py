"""From a teacher and data to a student, in stages that are kept."""
