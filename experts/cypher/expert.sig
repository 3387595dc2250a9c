{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiY3lwaGVyIiwiZGlnZXN0Ijp7InNoYTI1NiI6ImE3NjI4Yjg4ZDllNWJlYWM3ZGVlNWNkODRmNGI2YWQyZWNjZTlmNTc0ZjNjNjljMGQwMTA1ZmFmYTA5ODBlMGYifX1dLCJwcmVkaWNhdGVUeXBlIjoiaHR0cHM6Ly9tb2RlbF9zaWduaW5nL3NpZ25hdHVyZS92MS4wIiwicHJlZGljYXRlIjp7InJlc291cmNlcyI6W3sibmFtZSI6ImFkYXB0ZXJfY29uZmlnLmpzb24iLCJkaWdlc3QiOiIwYWMwMzg2ZTJkYzRkNTE0YTM0Yzk3N2YyYzc1YWVhNjIzZThmNmI5ZmZkZmQwODAyNTFkZTljZTFlMmNmNGQ4IiwiYWxnb3JpdGhtIjoic2hhMjU2In0seyJuYW1lIjoiYWRhcHRlcl9tb2RlbC5pbnQ0LnNhZmV0ZW5zb3JzIiwiZGlnZXN0IjoiYjc3ZTBkMDlmNjlhMzI3NWVlOWE3NzU5OTkyYjRiMmQ0ODhlNmZhZTE3NDllM2EzMTJkYzRkNDdlMmYzM2Y0ZCIsImFsZ29yaXRobSI6InNoYTI1NiJ9LHsibmFtZSI6ImV4cGVydC5qc29uIiwiZGlnZXN0IjoiODc0ZDI1OTQyMDNlNTc0ZjI2NTU0NjE4NzBhN2NkZjU3NDNjYzQ4ZjY3MGVhMTM2MWViOGM5MjA0ZDk4NGEwMiIsImFsZ29yaXRobSI6InNoYTI1NiJ9XSwic2VyaWFsaXphdGlvbiI6eyJtZXRob2QiOiJmaWxlcyIsImhhc2hfdHlwZSI6InNoYTI1NiIsImFsbG93X3N5bWxpbmtzIjpmYWxzZSwiaWdub3JlX3BhdGhzIjpbIi5naXQiLCIuZ2l0aWdub3JlIiwiLmdpdGF0dHJpYnV0ZXMiLCIuZ2l0aHViIiwiZXhwZXJ0LnNpZyIsImNoZWNrcG9pbnRzIl19fX0=",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEYCIQDwqgCsDHRZ+Q0fna2ZcZyEqdnqUertH5Lvt+qLsDAUZAIhANFcvw7UYfEXPy0+YI7PJtasL4Tf6NM9xFezJEMCFiJj",
        "keyid": ""
      }
    ]
  }
}
