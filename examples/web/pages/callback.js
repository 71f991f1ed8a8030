// The tokens are in the fragment, which the browser keeps to itself. They go to the server in a
// form, and out of the history and the address bar.
const form = document.getElementById("back");
form.elements.fragment.value = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
form.submit();
