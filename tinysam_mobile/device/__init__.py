"""What goes to a phone and what comes back: fixtures, dumps, resources of an app."""
