{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoic2VjdXJpdHkiLCJkaWdlc3QiOnsic2hhMjU2IjoiNjY1ZDM4YzhkNWE4YWJjMzhlMmYzODg0YzdlNjJkNDMzYWQzNjE1NDRiZmI3NzE2MzZmYjA4ZTQwMjNiZmJmNSJ9fV0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCJwcmVkaWNhdGUiOnsicmVzb3VyY2VzIjpbeyJuYW1lIjoiYWRhcHRlcl9jb25maWcuanNvbiIsImRpZ2VzdCI6IjBhYzAzODZlMmRjNGQ1MTRhMzRjOTc3ZjJjNzVhZWE2MjNlOGY2YjlmZmRmZDA4MDI1MWRlOWNlMWUyY2Y0ZDgiLCJhbGdvcml0aG0iOiJzaGEyNTYifSx7Im5hbWUiOiJhZGFwdGVyX21vZGVsLmludDQuc2FmZXRlbnNvcnMiLCJkaWdlc3QiOiI2MjllOTNkYWI2YTU0MDNkNmFmNjgzNzFmZjlhMDU0MjA3YzQyMmM5MWJkNDMwYzYyYWNlNGM2MWU3MzliZTI4IiwiYWxnb3JpdGhtIjoic2hhMjU2In0seyJuYW1lIjoiZXhwZXJ0Lmpzb24iLCJkaWdlc3QiOiIyMDlmYTk5MGNmNzdmNGZlOGVjNmVhMjI4NGViMTRmNzJjMWU4ODU0ZWExMTgzZGQxZjM2YzBlYzdlOTM3ZmZmIiwiYWxnb3JpdGhtIjoic2hhMjU2In1dLCJzZXJpYWxpemF0aW9uIjp7Im1ldGhvZCI6ImZpbGVzIiwiaGFzaF90eXBlIjoic2hhMjU2IiwiYWxsb3dfc3ltbGlua3MiOmZhbHNlLCJpZ25vcmVfcGF0aHMiOlsiLmdpdCIsIi5naXRpZ25vcmUiLCIuZ2l0YXR0cmlidXRlcyIsIi5naXRodWIiLCJleHBlcnQuc2lnIiwiY2hlY2twb2ludHMiXX19fQ==",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEYCIQDg3BQUD3aue2R5jYbQt74z03PQXjKEMLXRKi0TPM0uagIhANcgiW3ZiEnn4pw0kG7BCrc52MEWdVDAZnN45uCeeuF0",
        "keyid": ""
      }
    ]
  }
}
