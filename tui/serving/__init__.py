"""The app in a browser: a small local web server, and one app process per tab."""
