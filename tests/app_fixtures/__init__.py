"""The fixtures that the tests of Python, Swift and Kotlin share; `docs/app_fixtures.md` is their format.

python -m tests.app_fixtures            writes tests/golden/apps
"""
