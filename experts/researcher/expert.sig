{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "331fa5fbf9c05ca951cedba93bf27f78fba28e9d9a7112257511af73f47dfd04"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoicmVzZWFyY2hlciIsImRpZ2VzdCI6eyJzaGEyNTYiOiIyYTI0YmMwYzFlNDQ5YmUxZDAwZjY1ZmRlZjY3NmU5NzA0MTBhMjZmOTdjNGExZGUzZDMxZWU2ZTdmN2NmMDI5In19XSwicHJlZGljYXRlVHlwZSI6Imh0dHBzOi8vbW9kZWxfc2lnbmluZy9zaWduYXR1cmUvdjEuMCIsInByZWRpY2F0ZSI6eyJyZXNvdXJjZXMiOlt7Im5hbWUiOiJhZGFwdGVyX2NvbmZpZy5qc29uIiwiZGlnZXN0IjoiYzJmOGUwMTQ3N2VmMWY4MjA4ZTY5ZjZlMzJlMDBkY2U2ODIxZThhMzFmNWFkOGM1YTBlMzc1NjA0YjJjOThhYyIsImFsZ29yaXRobSI6InNoYTI1NiJ9LHsibmFtZSI6ImFkYXB0ZXJfbW9kZWwuaW50NC5zYWZldGVuc29ycyIsImRpZ2VzdCI6ImIyN2RlMzJjNDdiODY0NmFjYzdkNTEyNGM5ZDZjYTAwYWNkMzZhZmE3YWRmODdkMzIwMzcxMWUwZDAzYWY5ZGMiLCJhbGdvcml0aG0iOiJzaGEyNTYifSx7Im5hbWUiOiJleHBlcnQuanNvbiIsImRpZ2VzdCI6ImY1MGViOWI3OTM5Yzg3N2I0MmQ1NDQ1MTA5NzNlN2JlNTdhY2I0ZmM0N2I4ZWM3ZGZlODc2MDMzZWE5ZjliOWIiLCJhbGdvcml0aG0iOiJzaGEyNTYifV0sInNlcmlhbGl6YXRpb24iOnsibWV0aG9kIjoiZmlsZXMiLCJoYXNoX3R5cGUiOiJzaGEyNTYiLCJhbGxvd19zeW1saW5rcyI6ZmFsc2UsImlnbm9yZV9wYXRocyI6WyIuZ2l0IiwiLmdpdGlnbm9yZSIsIi5naXRhdHRyaWJ1dGVzIiwiLmdpdGh1YiIsImV4cGVydC5zaWciLCJjaGVja3BvaW50cyJdfX19",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEQCIHeC9V5r74M7Bf848D8Ef3hAccmd73vRXmuiBbcObxLMAiBV6aE+vjTtfLyEZFMgv3IKS8Y/T5Y4cs9jXc4gIq+7Jg==",
        "keyid": ""
      }
    ]
  }
}
