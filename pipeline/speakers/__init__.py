"""Who speaks when: the faces of a shot compared with each other and with nobody."""
