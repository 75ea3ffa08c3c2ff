"""The avatar in a browser: the viewer's page, a page that makes avatars, and their JSON API."""
