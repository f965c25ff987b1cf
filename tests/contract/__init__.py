"""What is promised to others: topics, records, exported files, the index template and the lock files agree."""
