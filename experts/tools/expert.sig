{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoidG9vbHMiLCJkaWdlc3QiOnsic2hhMjU2IjoiYTUyYzZmMjM5N2RmZGUxNjNkZmQ3ZDBlZWM4ZTBjMTZmNDcyNTE0OTZjZDM0ODZjOTQ2ZmQ0MWM5MDQ5ZmI5ZiJ9fV0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCJwcmVkaWNhdGUiOnsicmVzb3VyY2VzIjpbeyJuYW1lIjoiYWRhcHRlcl9jb25maWcuanNvbiIsImRpZ2VzdCI6ImMyZjhlMDE0NzdlZjFmODIwOGU2OWY2ZTMyZTAwZGNlNjgyMWU4YTMxZjVhZDhjNWEwZTM3NTYwNGIyYzk4YWMiLCJhbGdvcml0aG0iOiJzaGEyNTYifSx7Im5hbWUiOiJhZGFwdGVyX21vZGVsLmludDQuc2FmZXRlbnNvcnMiLCJkaWdlc3QiOiJiMTk5ZDdkYzAxNTQ0ODY0MWVlZWNmYWY2Yzc0MDVkMTg5YTY2ZWRhZWU0NmU2MzBjNTdhNjZjOTNjNmQ0NTE3IiwiYWxnb3JpdGhtIjoic2hhMjU2In0seyJuYW1lIjoiZXhwZXJ0Lmpzb24iLCJkaWdlc3QiOiI1YmJjOWY1NTlhODExYTU0YWMxZmZiOTVlZWM5YTYzZTdhNjQ4YWEyNTg5Y2NhYjI3YjM0ZmM5NDFiMGNkZTlkIiwiYWxnb3JpdGhtIjoic2hhMjU2In1dLCJzZXJpYWxpemF0aW9uIjp7Im1ldGhvZCI6ImZpbGVzIiwiaGFzaF90eXBlIjoic2hhMjU2IiwiYWxsb3dfc3ltbGlua3MiOmZhbHNlLCJpZ25vcmVfcGF0aHMiOlsiLmdpdCIsIi5naXRpZ25vcmUiLCIuZ2l0YXR0cmlidXRlcyIsIi5naXRodWIiLCJleHBlcnQuc2lnIiwiY2hlY2twb2ludHMiXX19fQ==",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEQCIHjEsRZS2wNyTAg9l/F/4+TNIdH74s0koPyv2yBbMZwtAiB/oKjV0BJbch4grcKfDpyl8wHK83lQGlwy93kdjatt5Q==",
        "keyid": ""
      }
    ]
  }
}
