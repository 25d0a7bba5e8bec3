"""The whole leaderboard on one machine: builds what it needs, submits the reference methods, serves the site."""
