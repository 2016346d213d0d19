"""Inputs that mean harm, made from grammars with seeds: none may end badly."""
