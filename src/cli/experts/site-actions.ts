// The actions of graft experts that carry experts elsewhere: publish.

import type { Actions } from './action.ts'
import { toExpertJson } from './show-experts.ts'

export const siteActions: Actions = {
  publish: {
    usage: '<name[@version]> <folder>',
    about: 'writes an expert as static files for any web server, in OCI’s layout',
    words: [2, 2],
    options: ['channel'],
    async run([reference, folder], { registry, values, terminal }) {
      const { publishExpert } = await import('../../node/registry/publish/publish-expert.ts')
      const { channel: channels } = values
      const published = await publishExpert(registry, reference!, folder!, { channels })
      const { id, version, image } = published
      const also = published.channels.map((channel) => `, ${id}@${channel}`).join('')
      terminal.print(`${id}@${version}${also} is published in ${folder}`)
      terminal.print(`image sha256:${image.hash}; serve the folder by any web server`)
      return { ...toExpertJson(published), image: `sha256:${image.hash}`, out: folder }
    },
  },
}
