"""The user model: Django's own, as a model of this project so that it can grow."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A person. Organisers are `is_staff`."""

    class Meta(AbstractUser.Meta):
        verbose_name = "user"

    @property
    def is_organiser(self) -> bool:
        return self.is_active and self.is_staff
