"""Prompts and everything mode on any runtime: a photo in, masks in pixels of the photo out."""
