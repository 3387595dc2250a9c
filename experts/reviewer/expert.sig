{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoicmV2aWV3ZXIiLCJkaWdlc3QiOnsic2hhMjU2IjoiYjcyNzc1MjI3MTMyOWY3OGMzZjRhZWIyNWQxMzM1YjNmNjk3Y2ZiMTk4YTQ0N2ExMzU4NTFlNTczN2EyYjU5NCJ9fV0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCJwcmVkaWNhdGUiOnsicmVzb3VyY2VzIjpbeyJuYW1lIjoiYWRhcHRlcl9jb25maWcuanNvbiIsImRpZ2VzdCI6ImMyZjhlMDE0NzdlZjFmODIwOGU2OWY2ZTMyZTAwZGNlNjgyMWU4YTMxZjVhZDhjNWEwZTM3NTYwNGIyYzk4YWMiLCJhbGdvcml0aG0iOiJzaGEyNTYifSx7Im5hbWUiOiJhZGFwdGVyX21vZGVsLmludDQuc2FmZXRlbnNvcnMiLCJkaWdlc3QiOiI5MWUwNGI5OGJjZTMyNzBmYTI3MDRlN2NhNDQwZDk3ZDI0MTc2NmQwMDM1MGIzYWFjZTBhNmEzODZjMjE5N2QxIiwiYWxnb3JpdGhtIjoic2hhMjU2In0seyJuYW1lIjoiZXhwZXJ0Lmpzb24iLCJkaWdlc3QiOiJjYmU2MWEzNTZmNGY0ZDE1YTI0NTZjMzNiNjVmNjIzZDIyNGFjOWU0NmM2M2I2ODBjMzExOWJiODk1MWRhMWQyIiwiYWxnb3JpdGhtIjoic2hhMjU2In1dLCJzZXJpYWxpemF0aW9uIjp7Im1ldGhvZCI6ImZpbGVzIiwiaGFzaF90eXBlIjoic2hhMjU2IiwiYWxsb3dfc3ltbGlua3MiOmZhbHNlLCJpZ25vcmVfcGF0aHMiOlsiLmdpdCIsIi5naXRpZ25vcmUiLCIuZ2l0YXR0cmlidXRlcyIsIi5naXRodWIiLCJleHBlcnQuc2lnIiwiY2hlY2twb2ludHMiXX19fQ==",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEYCIQDdFbhZDuXXvkQR6qTyXZFyE0NVHfSLzcRQDgsX/VBibAIhAL8v7p7pHGuTxiywn1WVqzaJfshyaDFmwKMsyDvwHh/V",
        "keyid": ""
      }
    ]
  }
}
