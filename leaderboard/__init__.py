"""The site: people, methods, submissions, runs, boards. It scores nothing and reads no hidden split."""
