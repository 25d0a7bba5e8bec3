"""The web entry: `gunicorn leaderboard.config.wsgi --workers 1 --threads 8`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.config.settings.embedded")

application = get_wsgi_application()
