"""The sources that come with Newsflow, one file each."""
