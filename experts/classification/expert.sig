{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiY2xhc3NpZmljYXRpb24iLCJkaWdlc3QiOnsic2hhMjU2IjoiOGYwMzhlZjE5ZTkwOGIyMWQzODBkMDA1NzRlNGVjZjdjY2I0MDYzYTk3OGRjNWZlZTgyNzVhOGM4YjU2NThmZSJ9fV0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCJwcmVkaWNhdGUiOnsicmVzb3VyY2VzIjpbeyJuYW1lIjoiYWRhcHRlcl9jb25maWcuanNvbiIsImRpZ2VzdCI6IjAxNTc2MTg1NDM5NjIwYTdiMjFhM2JmYWU1MjMwYTRmZWQ5ZGRlNzc5MWY0MjAzZDZmOGU1NzZjNjExZTQ1YWIiLCJhbGdvcml0aG0iOiJzaGEyNTYifSx7Im5hbWUiOiJhZGFwdGVyX21vZGVsLmludDQuc2FmZXRlbnNvcnMiLCJkaWdlc3QiOiI4NGQ0ODEzOTA4OTdkMGFjN2VkNmE2ZmQ3Njk1ODk2MTNkMGE0MGUzYjAwZmY5MDY0MDg1MzIxOGIxNGMwYjA3IiwiYWxnb3JpdGhtIjoic2hhMjU2In0seyJuYW1lIjoiZXhwZXJ0Lmpzb24iLCJkaWdlc3QiOiIwZWNjZjJiM2M2YmY3OTBmODBlYWJkY2EyZDZhYmU5OTAxYTY4ZGNkZWFlYzJkYmIzY2ZlOTVlMDJlOWQ4NTY2IiwiYWxnb3JpdGhtIjoic2hhMjU2In1dLCJzZXJpYWxpemF0aW9uIjp7Im1ldGhvZCI6ImZpbGVzIiwiaGFzaF90eXBlIjoic2hhMjU2IiwiYWxsb3dfc3ltbGlua3MiOmZhbHNlLCJpZ25vcmVfcGF0aHMiOlsiLmdpdCIsIi5naXRpZ25vcmUiLCIuZ2l0YXR0cmlidXRlcyIsIi5naXRodWIiLCJleHBlcnQuc2lnIiwiY2hlY2twb2ludHMiXX19fQ==",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEQCIATcaDEwXFGzFQJ76zgY1VT5YQOc53PPOBVHwpI7aqWnAiARh13PAPZYv+dYT5y7BtI9rgM7x911cTUTCC9iIAGCcQ==",
        "keyid": ""
      }
    ]
  }
}
