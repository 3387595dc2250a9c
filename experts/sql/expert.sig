{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoic3FsIiwiZGlnZXN0Ijp7InNoYTI1NiI6IjI4MmQ1Y2FkMjI4MzhjNWZlN2YyODA5YjczMGY2ZmFlZjI3MGYzMmNiNzQ4YTdjMGZhZmEzOTVhZDhiMmE5YzEifX1dLCJwcmVkaWNhdGVUeXBlIjoiaHR0cHM6Ly9tb2RlbF9zaWduaW5nL3NpZ25hdHVyZS92MS4wIiwicHJlZGljYXRlIjp7InJlc291cmNlcyI6W3sibmFtZSI6ImFkYXB0ZXJfY29uZmlnLmpzb24iLCJkaWdlc3QiOiIwY2RhYjEwZTZlMjgzNzVhODQ3MDQzZjQ5OTRkMTQwNmM2OTUxZGVlMzYzMTg3ZGM4NTdlMmQ5ZThhNjhkNWRjIiwiYWxnb3JpdGhtIjoic2hhMjU2In0seyJuYW1lIjoiYWRhcHRlcl9tb2RlbC5pbnQ0LnNhZmV0ZW5zb3JzIiwiZGlnZXN0IjoiYjc4NzJkOGQyZWJlYTdiNjcwY2U3NTAxMzdjZjY0OTZkNzQ0NjhmZWNjMDVlMWIyNDk5M2E3NTQwNTdhZTliOCIsImFsZ29yaXRobSI6InNoYTI1NiJ9LHsibmFtZSI6ImV4cGVydC5qc29uIiwiZGlnZXN0IjoiY2YxNDlhMjk5NDFhMWJkYTllN2MwZWM4YzAwOWU4MjJlNzEzNzZkYmU4NTRiZGNiNGNmNmI3M2Q2NzFkNzMyNiIsImFsZ29yaXRobSI6InNoYTI1NiJ9XSwic2VyaWFsaXphdGlvbiI6eyJtZXRob2QiOiJmaWxlcyIsImhhc2hfdHlwZSI6InNoYTI1NiIsImFsbG93X3N5bWxpbmtzIjpmYWxzZSwiaWdub3JlX3BhdGhzIjpbIi5naXQiLCIuZ2l0aWdub3JlIiwiLmdpdGF0dHJpYnV0ZXMiLCIuZ2l0aHViIiwiZXhwZXJ0LnNpZyIsImNoZWNrcG9pbnRzIl19fX0=",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEYCIQCu6CyZwRaCXYAKF+hHacU8xW6yZz81F5agKFCo1rJK8QIhAIyZ3GLTTC7xfSupMjKWs0Rr4WcU9fKvE99Q+MChe8xk",
        "keyid": ""
      }
    ]
  }
}
