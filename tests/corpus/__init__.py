"""The bad-input corpus: files that are wrong in hundreds of ways, made by code, and what must become of each.

python -m tests.corpus write FOLDER         every file, in a folder of its name
python -m tests.corpus write-small FOLDER   all but the largest ones
python -m tests.corpus run FOLDER           what the sources make of them: a line of JSON a file
"""
