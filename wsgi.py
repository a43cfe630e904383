"""What the WSGI server loads."""

from billing import create_app
from config import Settings

app = create_app(Settings.from_env())
