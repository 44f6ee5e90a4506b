//! What to do about a missing GPU, by browser and system. Plain text in, plain text out.

use crate::host::web::protocol::NoGpu;
use leptos::prelude::window;

/// Why there is no GPU, and the steps that most likely bring one.
#[derive(Debug, PartialEq)]
pub(crate) struct Advice {
    pub(crate) title: &'static str,
    pub(crate) why: String,
    pub(crate) steps: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Browser {
    Chromium(&'static str),
    Firefox,
    Safari,
    Other,
}

/// What this browser calls itself.
pub(crate) fn user_agent() -> String {
    window().navigator().user_agent().unwrap_or_default()
}

/// The advice for `reason` in the browser that calls itself `agent`.
pub(crate) fn advice(reason: NoGpu, agent: &str) -> Advice {
    let browser = browser(agent);
    let name = match browser {
        Browser::Chromium(name) => name,
        Browser::Firefox => "Firefox",
        Browser::Safari => "Safari",
        Browser::Other => "This browser",
    };
    match reason {
        NoGpu::Insecure => Advice {
            title: "This address hides WebGPU",
            why: "Browsers offer WebGPU only to pages from https:// or localhost, and this page comes from neither."
                .into(),
            steps: vec![
                "Open the page by https, or from localhost.",
                "To look at it from another machine, forward the port: ssh -L 8080:localhost:8080.",
            ],
        },
        NoGpu::NoApi => Advice {
            title: "No WebGPU here",
            why: format!("{name} does not offer WebGPU, or has it switched off."),
            steps: switch_on(browser, agent),
        },
        NoGpu::NoApiInWorker => Advice {
            title: "No WebGPU in workers",
            why: format!("{name} offers WebGPU to the page and not to its workers, where all the computing is done."),
            steps: switch_on(browser, agent),
        },
        NoGpu::NoAdapter => Advice {
            title: "No GPU found",
            why: format!(
                "{name} has WebGPU, but gives this page no GPU: the GPU or its driver is blocked, or missing."
            ),
            steps: unblock(browser, agent),
        },
    }
}

fn browser(agent: &str) -> Browser {
    // Every browser claims to be its ancestors, so the youngest name comes first.
    match agent {
        a if a.contains("Firefox/") => Browser::Firefox,
        a if a.contains("Edg/") => Browser::Chromium("Edge"),
        a if a.contains("OPR/") => Browser::Chromium("Opera"),
        a if a.contains("Chrome/") => Browser::Chromium("Chrome"),
        a if a.contains("Safari/") => Browser::Safari,
        _ => Browser::Other,
    }
}

fn is_linux(agent: &str) -> bool {
    agent.contains("Linux") && !agent.contains("Android")
}

/// How to get WebGPU where it is missing altogether.
fn switch_on(browser: Browser, agent: &str) -> Vec<&'static str> {
    match browser {
        Browser::Chromium(_) if is_linux(agent) => vec![
            "Update: versions before 113 lack WebGPU.",
            "On Linux, set chrome://flags/#enable-unsafe-webgpu and #enable-vulkan to Enabled and restart the browser.",
        ],
        Browser::Chromium(_) => vec![
            "Update: version 113 and later have WebGPU on Windows, macOS and ChromeOS, 121 and later on Android.",
            "In Settings, System, switch on \"Use graphics acceleration when available\".",
        ],
        Browser::Firefox => vec![
            "Update: version 141 and later have WebGPU on Windows, 145 and later on Macs with Apple silicon.",
            "Elsewhere, on Linux too, set dom.webgpu.enabled to true in about:config and restart Firefox.",
        ],
        Browser::Safari => vec![
            "Update: Safari 26 and later have WebGPU, on macOS, iOS, iPadOS and visionOS.",
            "In Safari 18 it is a feature flag: Settings, Advanced, \"Show features for web developers\", then Feature Flags, WebGPU.",
        ],
        Browser::Other => vec!["Open the page in a current Chrome, Edge, Firefox or Safari."],
    }
}

/// How to get an adapter where WebGPU hands out none.
fn unblock(browser: Browser, agent: &str) -> Vec<&'static str> {
    match browser {
        Browser::Chromium(_) if is_linux(agent) => vec![
            "Install a Vulkan driver: mesa-vulkan-drivers, or NVIDIA's own.",
            "Set chrome://flags/#enable-unsafe-webgpu and #enable-vulkan to Enabled and restart the browser.",
            "chrome://gpu says why the GPU is refused.",
        ],
        Browser::Chromium(_) => vec![
            "Update the graphics driver, and switch on \"Use graphics acceleration when available\" in Settings, System.",
            "chrome://gpu says why the GPU is refused; chrome://flags/#ignore-gpu-blocklist overrides it, at your own risk.",
            "In a remote desktop or a virtual machine there is often no GPU at all.",
        ],
        Browser::Firefox => vec![
            "Update the graphics driver; on Linux install mesa-vulkan-drivers, or NVIDIA's own.",
            "about:support, under Graphics, says why the GPU is refused; gfx.webgpu.ignore-blocklist in about:config overrides it.",
        ],
        Browser::Safari => vec![
            "Switch off Lockdown Mode for this page: it takes WebGPU away.",
            "Update the system: Safari takes its drivers from it.",
        ],
        Browser::Other => {
            vec!["Update the graphics driver, or open the page in a current Chrome, Edge, Firefox or Safari."]
        }
    }
}
