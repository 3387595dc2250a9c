{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiY2xhc3NpZmljYXRpb24iLCJkaWdlc3QiOnsic2hhMjU2IjoiNzQ4NDJmY2FiZWY2OTVmODgwMmZkOTQ5OWEyYjYyMTg3M2JkZDE4Nzg1ZDdiYjM4YzU3YWZiZjIzOThhZDYxOSJ9fV0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCJwcmVkaWNhdGUiOnsicmVzb3VyY2VzIjpbeyJuYW1lIjoiYWRhcHRlcl9jb25maWcuanNvbiIsImRpZ2VzdCI6ImU1NjQ1YzhlMWY3MTM2YTJhM2NiZTlkZWEyMDkxNTRkZjNiMTQwNTJkYjhhMTI5ZWIzNGMzYjJkNzk5N2RmYzMiLCJhbGdvcml0aG0iOiJzaGEyNTYifSx7Im5hbWUiOiJhZGFwdGVyX21vZGVsLmludDguc2FmZXRlbnNvcnMiLCJkaWdlc3QiOiIxYTc3NjZjNzYwZjc5Y2UyZDZkYTkwMDdmYWE1ZTgzM2FmMTMwMzExMDc1NDA5NjNlZWM5MTVjYjU3ZTQ4YjBjIiwiYWxnb3JpdGhtIjoic2hhMjU2In0seyJuYW1lIjoiZXhwZXJ0Lmpzb24iLCJkaWdlc3QiOiIyN2MzMGY1NmIyMGE1ODk5MGUzMzRlZWE3M2Y1Zjc1YTJjOTIyZGEwZGViYmYxMTljOWU2N2FlYjRjMmNjY2JlIiwiYWxnb3JpdGhtIjoic2hhMjU2In1dLCJzZXJpYWxpemF0aW9uIjp7Im1ldGhvZCI6ImZpbGVzIiwiaGFzaF90eXBlIjoic2hhMjU2IiwiYWxsb3dfc3ltbGlua3MiOmZhbHNlLCJpZ25vcmVfcGF0aHMiOlsiLmdpdCIsIi5naXRpZ25vcmUiLCIuZ2l0YXR0cmlidXRlcyIsIi5naXRodWIiLCJleHBlcnQuc2lnIiwiY2hlY2twb2ludHMiXX19fQ==",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEQCIADn+ERRaZMvCC/uXihKydm9TKeo47V94XdE/r8YHEr9AiASwTk/ktynaGm7eAgfCh284Cl9ucrzmBsy2zLNA2NTZg==",
        "keyid": ""
      }
    ]
  }
}
