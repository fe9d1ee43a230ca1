"""What people do on the page, in a browser.

A package, so that all of its files that a process runs share one browser and one server. Playwright
keeps an event loop running in the thread meanwhile: async tests have no place here.
"""
