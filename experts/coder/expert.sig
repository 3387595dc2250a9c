{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiY29kZXIiLCJkaWdlc3QiOnsic2hhMjU2IjoiNjY5ZTkyZGRlMTQ0ODhhN2VmNGMwMTljYmIwM2Y0YTY3Njg2ZTdhZmM3ZTExYmE4MzUxN2UzYTRhMjJjYmQ4MCJ9fV0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCJwcmVkaWNhdGUiOnsicmVzb3VyY2VzIjpbeyJuYW1lIjoiYWRhcHRlcl9jb25maWcuanNvbiIsImRpZ2VzdCI6ImMyZjhlMDE0NzdlZjFmODIwOGU2OWY2ZTMyZTAwZGNlNjgyMWU4YTMxZjVhZDhjNWEwZTM3NTYwNGIyYzk4YWMiLCJhbGdvcml0aG0iOiJzaGEyNTYifSx7Im5hbWUiOiJhZGFwdGVyX21vZGVsLmludDQuc2FmZXRlbnNvcnMiLCJkaWdlc3QiOiIwMTVmMjYyYzcwMmE3ZjI3ZTA3ZjU1YmZmOTliNzBhMjYwMmYzNjQ4Y2QyMjA0M2UzNmQ4OThjYjQ2NDA0ZGY0IiwiYWxnb3JpdGhtIjoic2hhMjU2In0seyJuYW1lIjoiZXhwZXJ0Lmpzb24iLCJkaWdlc3QiOiI5NDQ2N2EwYWE2MDk1NDJmNTU2YTdjYzA5YjI5NTI2YTI2NzgwNzFkMjU3Y2U1ZDA1ZDA3NTBjMzNlZmYwNDVhIiwiYWxnb3JpdGhtIjoic2hhMjU2In1dLCJzZXJpYWxpemF0aW9uIjp7Im1ldGhvZCI6ImZpbGVzIiwiaGFzaF90eXBlIjoic2hhMjU2IiwiYWxsb3dfc3ltbGlua3MiOmZhbHNlLCJpZ25vcmVfcGF0aHMiOlsiLmdpdCIsIi5naXRpZ25vcmUiLCIuZ2l0YXR0cmlidXRlcyIsIi5naXRodWIiLCJleHBlcnQuc2lnIiwiY2hlY2twb2ludHMiXX19fQ==",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEUCID9dT5ghvwrVCLk86bETn0zf6+oroV5h3oUA5zohXSRRAiEA0D0RMxueHZc/MVzCTayDRo3G9TgSVhKiKwgSdC0WzwQ=",
        "keyid": ""
      }
    ]
  }
}
