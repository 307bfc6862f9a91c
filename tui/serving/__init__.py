"""The app in a browser: a small web server on this machine, and one app process for each tab."""
