// The site of docs/: `npm run site` writes plain files to site/.vitepress/dist, search included. Nothing in them asks
// another host.
import { readSections } from '../sections.mjs'

/** Files of the project that pages link to are not part of the site: their names stay, without a link. */
function removeOuterLinks({ tokens }) {
  for (const { children } of tokens) {
    let isOuter = false
    for (const token of children ?? []) {
      if (token.type === 'link_open') isOuter = token.attrGet('href').startsWith('../')
      if (!isOuter || !token.type.startsWith('link_')) continue
      token.tag = 'span'
      token.attrs = []
    }
  }
}

export default {
  title: 'Graft',
  description:
    'One small language model, many experts: train, merge, route, swap and serve adapters.',
  srcDir: 'pages',
  rewrites: { 'README.md': 'index.md', 'decisions/README.md': 'decisions/index.md' },
  cleanUrls: false,
  lastUpdated: false,
  metaChunk: true,
  head: [['meta', { name: 'theme-color', content: '#3a7d44' }]],
  markdown: {
    config: (renderer) => void renderer.core.ruler.push('outer links', removeOuterLinks),
  },
  vite: { esbuild: { tsconfigRaw: '{}' } },
  themeConfig: {
    outline: [2, 3],
    search: { provider: 'local' },
    sidebar: readSections(),
  },
}
