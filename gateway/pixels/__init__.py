"""Text in the pixels: where an image series may carry some, what of it can be read, and a picture that shows where."""
