{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoic3FsIiwiZGlnZXN0Ijp7InNoYTI1NiI6ImU3MDkxMWI1OTMzNDJjODBkMjE1MzE2OGQ0Yzc5MDkxYTlkOTIxOGRiZjRmNjUxMTFjMjE2NGZiMGI2NTZmYzUifX1dLCJwcmVkaWNhdGVUeXBlIjoiaHR0cHM6Ly9tb2RlbF9zaWduaW5nL3NpZ25hdHVyZS92MS4wIiwicHJlZGljYXRlIjp7InJlc291cmNlcyI6W3sibmFtZSI6ImFkYXB0ZXJfY29uZmlnLmpzb24iLCJkaWdlc3QiOiIwNmU0ZTA3NmE2ZjQwMGNmNjY3MTU3OWZkZDI3MTY1YzJmMWRkYmQ3ZmIzNmExMjMwYWM1NDFhZmIxNDJjN2IwIiwiYWxnb3JpdGhtIjoic2hhMjU2In0seyJuYW1lIjoiYWRhcHRlcl9tb2RlbC5pbnQ4LnNhZmV0ZW5zb3JzIiwiZGlnZXN0IjoiNzJmOTQ2ODQwM2UyZmUzMGY1M2FlMTExMWEzZjFiOTE0OTE2MjRiMjViMDRlZWVjOGFiODAxMjk5ZjhjMjU2MiIsImFsZ29yaXRobSI6InNoYTI1NiJ9LHsibmFtZSI6ImV4cGVydC5qc29uIiwiZGlnZXN0IjoiMGM3NDgyYjViMGI4MWRkMmYzMGY3YTBkZDdlYjhhNmYyODE3ZmY2NmQ2YzMyOWY4NThlOTNlMDVmM2Q5N2QyYyIsImFsZ29yaXRobSI6InNoYTI1NiJ9XSwic2VyaWFsaXphdGlvbiI6eyJtZXRob2QiOiJmaWxlcyIsImhhc2hfdHlwZSI6InNoYTI1NiIsImFsbG93X3N5bWxpbmtzIjpmYWxzZSwiaWdub3JlX3BhdGhzIjpbIi5naXQiLCIuZ2l0aWdub3JlIiwiLmdpdGF0dHJpYnV0ZXMiLCIuZ2l0aHViIiwiZXhwZXJ0LnNpZyIsImNoZWNrcG9pbnRzIl19fX0=",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEQCIC4/kWM3uk7qLLeh5uhCvABNqT6f9CiTg2miCC90EwjFAiATpdRV016YVtuJKWbLmVAJH21PtszY1NQND2wA+uhNcQ==",
        "keyid": ""
      }
    ]
  }
}
