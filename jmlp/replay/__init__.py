"""The replay of a run or a study: one HTML page that plays its training, snapshot by snapshot."""
