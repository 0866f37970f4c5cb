import { mount } from 'svelte'
import App from './App.svelte'
import './styles/colours.css'
import './styles/base.css'
import './styles/masthead.css'
import './styles/week.css'
import './styles/notice.css'
import './styles/form.css'
import './styles/phone.css'

const target = document.getElementById('app')
if (target !== null) mount(App, { target })
