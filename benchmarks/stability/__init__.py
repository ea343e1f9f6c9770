"""How far learned and fixed transforms move: noise, translations, deformations, other samples."""
